"""What Alembic runs: migrations on the connection that `store.database` gives it."""

from alembic import context

from recommender.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
