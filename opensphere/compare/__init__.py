"""Many trainings that differ in one thing at a time: what is compared, what came of it, and how sure that is."""
