"""The members' own records, their avatars, and the erasure of a member."""
