"""The part of a page that a comparison over seeds has: reads study.json and the runs that it names."""
