"""How a running process is steered: drain, log level, reload; and how it shows itself meanwhile."""
