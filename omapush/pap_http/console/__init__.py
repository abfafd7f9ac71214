"""The web console of operators: pages that the api serves below /console."""
