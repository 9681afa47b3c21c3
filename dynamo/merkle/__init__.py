"""Hash trees: where do two sets of items differ?"""
