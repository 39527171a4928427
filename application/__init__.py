"""What the shop can be asked to do: commands, the till that rings them up, and the reactions to what happened."""
