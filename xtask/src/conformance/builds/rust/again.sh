# What is in the cache mounts is not fetched again.
sed -i 's/6 \* 7/6 * 8/' src/main.rs
build 2>&1 | tee again.log >&2
! grep -q 'Downloading\|Compiling itoa' again.log
[ "$(docker run --rm --network none "$IMAGE")" = "hello 48" ]
