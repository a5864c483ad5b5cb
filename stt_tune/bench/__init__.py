"""Show how good the search is: replay sweeps on recorded trainings."""
