docker run -d --name nginx --network none "$IMAGE" >/dev/null
ask='exec 3<>/dev/tcp/127.0.0.1/80; printf "GET /page.html HTTP/1.0\r\n\r\n" >&3; cat <&3'
within docker exec nginx bash -c "$ask" 
docker exec nginx bash -c "$ask" | grep -q '<p>hello from a build</p>'
docker exec nginx bash -c "$ask" | grep -qi '^server: nginx.$'
docker exec nginx stat -c %U /var/www/html/page.html | grep -qx www-data
docker logs nginx 2>&1 | grep -q 'GET /page.html'
