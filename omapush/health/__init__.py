"""What a node sees of itself: its Kamailio, its api, its files and its clock."""
