//! Finding what is relevant: ranking, token counts, budgets.
