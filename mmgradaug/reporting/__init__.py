"""One page that shows what one or several trainings did, from what they left in their folders."""
