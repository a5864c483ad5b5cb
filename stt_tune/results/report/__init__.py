"""The report: one page that answers what a sweep found, in pictures and in words."""
