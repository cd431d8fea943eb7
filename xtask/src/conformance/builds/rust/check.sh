[ "$(docker run --rm --network none "$IMAGE")" = "hello 42" ]
