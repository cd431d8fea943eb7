# A registry at 127.0.0.1:5000.
docker tag busybox 127.0.0.1:5000/a/box:1
docker push 127.0.0.1:5000/a/box:1 | sed 's/digest: .*//'
docker push 127.0.0.1:5000/a/box:1 | sed 's/digest: .*//'
docker tag busybox 127.0.0.1:5000/a/box:2
docker tag busybox 127.0.0.1:5000/b/box:1
docker push -a 127.0.0.1:5000/a/box | sed 's/digest: .*//'
docker push -q 127.0.0.1:5000/b/box:1
docker push 127.0.0.1:5000/nothing:1
docker push 127.0.0.1:5000/nothing
docker image inspect -f '{{json .RepoTags}} {{len .RepoDigests}}' 127.0.0.1:5000/a/box:1
docker images --digests --format '{{.Repository}} {{.Tag}}' 127.0.0.1:5000/a/box
docker rmi 127.0.0.1:5000/a/box:1 | grep -c Untagged
docker rmi 127.0.0.1:5000/a/box:2 127.0.0.1:5000/b/box:1 | grep -c Untagged
docker rmi busybox | grep -c Deleted
# dockerd leaves this one line out when the next comes soon.
docker pull 127.0.0.1:5000/a/box:1 | grep -v 'Verifying Checksum'
docker pull 127.0.0.1:5000/a/box:1
docker pull -q 127.0.0.1:5000/a/box:2
docker pull -a 127.0.0.1:5000/a/box
docker pull 127.0.0.1:5000/b/box
docker pull 127.0.0.1:5000/nothing:1
docker pull 127.0.0.1:5000/nothing@sha256:0123456789012345678901234567890123456789012345678901234567890123
docker pull 127.0.0.1:1/x:1
docker pull --platform linux/s390x 127.0.0.1:5000/a/box:1
docker run --rm 127.0.0.1:5000/b/box:1 echo pulled
docker run --rm 127.0.0.1:5000/nothing:1 true
docker run --rm --pull always -q 127.0.0.1:5000/a/box:2 echo again
docker events --since 60s --until 0s --filter type=image --format '{{.Action}}' | sort | uniq -c | grep -E 'pull|push' | wc -l
docker image inspect -f '{{json .RepoTags}} {{len .RepoDigests}}' 127.0.0.1:5000/a/box:1
docker login -u me -p secret 127.0.0.1:5000 2>&1 | grep -v stored
docker logout 127.0.0.1:5000
docker login -u me -p secret 127.0.0.1:1
docker tag 127.0.0.1:5000/a/box:1 busybox:latest
docker rmi -f 127.0.0.1:5000/a/box:1 127.0.0.1:5000/a/box:2 127.0.0.1:5000/b/box:1 | grep -c Untagged
docker images --format '{{.Repository}}:{{.Tag}}'
