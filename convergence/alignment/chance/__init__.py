"""What a score is compared with: shuffled stimuli and rotated units."""
