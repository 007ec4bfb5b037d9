"""What things cost, and how they compare with others: modules run from the repository root."""
