"""The page of a run, a test or a comparison: reads results on disk, knows nothing of networks."""
