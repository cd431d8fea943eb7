# Images.
docker image inspect -f '{{.Id}} {{json .RepoTags}} {{json .RepoDigests}} {{.Architecture}} {{.Os}} {{.Created}}' busybox
docker image inspect -f '{{json .Config.Env}} {{json .Config.Cmd}} {{json .Config.Labels}} {{json .Config.Entrypoint}} {{.Config.WorkingDir}}' busybox
docker image inspect -f '{{json .RootFS}} {{.Parent}} {{.Comment}} {{.Author}} {{.DockerVersion}} {{.Variant}}' busybox
docker images --format '{{.Repository}} {{.Tag}} {{.ID}} {{.Size}}'
docker images -q nosuch
docker images --filter dangling=true -q
docker images --filter nosuch=1
docker images --filter reference='busy*' --format '{{.Repository}}'
docker images --no-trunc --format '{{.ID}}'
docker history --format '{{.CreatedBy}} {{.Size}}' busybox
tar -xOf $ARCHIVE layer.tar | docker import -c 'CMD ["cat","/data/seed"]' -c 'ENV A=1' -m imported - made:1
docker run --rm made:1
docker image inspect -f '{{json .Config.Cmd}} {{json .Config.Env}} {{.Comment}} {{json .RepoTags}}' made:1
docker save busybox -o /dev/null
docker rmi made:1
docker rmi -f nothing:1
docker load -q -i $ARCHIVE
docker run --rm --pull never nosuch:1
docker run --rm --platform linux/s390x --pull never busybox true
docker image prune -f
