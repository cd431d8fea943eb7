# Images of containers: commit, diff, export, import, save, load, history.
docker run --name box busybox sh -c 'echo new > /data/new; rm /data/seed; mkdir -p /made/deep; echo x > /made/deep/file; chmod 700 /etc; ln -s /etc /link'
docker diff box | sort
docker commit box committed:1
docker commit -a 'Some One <one@example.org>' -m 'a message' -c 'CMD ["cat","/data/new"]' -c 'ENV B=2' -c 'EXPOSE 80/tcp' -c 'LABEL a=b' -c 'WORKDIR /made' box committed:2
docker run --rm committed:2
docker run --rm committed:1 sh -c 'ls -A /data /made /made/deep; stat -c "%a %F" /etc; readlink /link; cat /made/deep/file'
docker image inspect -f '{{.Author}} {{.Comment}} {{json .RepoTags}} {{.Architecture}} {{.Os}} {{len .RootFS.Layers}}' committed:2
docker image inspect -f '{{json .Config.Cmd}} {{json .Config.Env}} {{json .Config.ExposedPorts}} {{json .Config.Labels}} {{.Config.WorkingDir}} {{json .Config.Volumes}} {{json .Config.Entrypoint}}' committed:2
docker history --no-trunc --format '{{.CreatedBy}}|{{.Comment}}' committed:2
docker history --format '{{.Size}} {{.Comment}}' committed:1
docker commit box
docker commit -c 'NONSENSE x' box committed:3
docker commit -c 'FROM x' box committed:3
docker commit box BAD:1
docker commit nothing committed:3
docker images --filter dangling=true --format '{{.Repository}} {{.Tag}}'
docker export box | tar -tf - | grep -E '^(data|made|link)' | sort
docker export nothing
docker export box | docker import -c 'CMD ["cat","/made/deep/file"]' - flat:1
docker run --rm flat:1
# One at a time: after a save of two with common layers dockerd 28 never lets go of these.
docker save committed:1 | tar -xOf - manifest.json | grep -o '"RepoTags":[^]]*'
docker save committed:2 | tar -xOf - manifest.json | grep -o '"RepoTags":[^]]*'
docker save nothing:1 -o /dev/null
docker save -o /tmp/dhow-compat-$$ committed:1 && docker rmi committed:1 && docker load -i /tmp/dhow-compat-$$; rm -f /tmp/dhow-compat-$$
docker run --rm committed:1 cat /data/new
docker run -d --name busy busybox sh -c 'echo run > /tmp/x; sleep 1000'
docker commit -p=false busy live:1
docker commit busy live:2
docker inspect -f '{{.State.Paused}} {{.State.Running}}' busy
docker run --rm live:2 cat /tmp/x
docker diff busy
docker rm -f busy
docker create --name never busybox
docker diff never
docker commit never never:1
docker rmi -f committed:1 committed:2 flat:1 live:1 live:2 never:1
docker image prune -f | grep -c deleted
docker image prune -f --filter until=1h
docker system df --format '{{.Type}} {{.TotalCount}} {{.Active}}'
docker system prune -f | grep -v '^[0-9a-f]*$'
