"""Where tasks and recorded attempts come from: one small module or package each."""
