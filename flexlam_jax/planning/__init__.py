"""What a run on a pod will cost, found out on a laptop: compile for TPUs that are not there."""
