"""What stages of different methods share: a change here runs all of them again."""
