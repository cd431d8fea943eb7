docker run -d --name python --network none "$IMAGE" >/dev/null
ask='exec 3<>/dev/tcp/127.0.0.1/8080; printf "GET / HTTP/1.0\r\n\r\n" >&3; cat <&3'
within docker exec python bash -c "$ask"
docker exec python bash -c "$ask" | grep -q '42 by jinja2'
