"""From a query to stored images: plan, candidates, window, work, run."""
