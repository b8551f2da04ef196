"""The eight steps from archive to bins as one program: configuration, tasks, and the runner that resumes them."""
