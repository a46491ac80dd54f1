"""The gateway behind a path that a proxy takes away, in the forms that a host can be told of it."""

from fastapi import FastAPI

from nexusflow_asgi import NexusFlow

gateway = NexusFlow(config="nexusflow.toml")
mount = FastAPI(lifespan=gateway.lifespan)
mount.mount("/llm", gateway)

told = FastAPI(root_path="/px")
told.add_middleware(NexusFlow, config="nexusflow.toml", prefix="/llm")

middleware = FastAPI()
middleware.add_middleware(NexusFlow, config="nexusflow.toml", prefix="/llm")

alone = NexusFlow(config="nexusflow.toml", prefix="/llm")
