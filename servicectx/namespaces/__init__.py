"""Parts of shared instances: how they are named, made, handed out and removed, by what each server has for it."""
