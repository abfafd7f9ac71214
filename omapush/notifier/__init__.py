"""Worker beside the SIP side: tells push initiators results, and finishes what a crash left half done."""
