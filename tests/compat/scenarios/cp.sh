# Files copied out of and into a container that was never started, that runs, that is paused and that has ended; all forms of names.
mkdir -p $DATA/../cp/tree/deep && cd $DATA/../cp && echo one > tree/one && echo two > tree/deep/two && ln -s one tree/link && ln -s tree folder-link && chmod 640 tree/one
docker create --name box -v vol:/vol -v $(realpath $DATA/../cp/tree):/bound:ro --tmpfs /scratch busybox sleep 1000
cd $DATA/../cp && docker cp tree/one box:/tmp && docker cp box:/tmp/one - | tar -xO
cd $DATA/../cp && docker cp tree box:/new && docker cp box:/new - | tar -t
cd $DATA/../cp && docker cp tree box:/new && docker cp box:/new - | tar -t
cd $DATA/../cp && docker cp tree/. box:/new && docker cp box:/new - | tar -t
cd $DATA/../cp && docker cp folder-link box:/as-link && docker cp box:/as-link - | tar -tv | cut -c1-10
cd $DATA/../cp && docker cp -L folder-link box:/as-folder && docker cp box:/as-folder - | tar -t
cd $DATA/../cp && docker cp tree/one box:/no/such/place
cd $DATA/../cp && docker cp tree/one box:/renamed && docker cp box:/renamed - | tar -t
cd $DATA/../cp && docker cp tree/one box:/folder/ 2>&1 | grep -v ^time= | tail -1
cd $DATA/../cp && docker cp tree box:/renamed 2>&1 | grep -v ^time= | tail -1
cd $DATA/../cp && docker cp no-such-file box:/ 2>&1 | sed 's,/.*/cp/,,'
cd $DATA/../cp && docker cp tree/one box:/bound
cd $DATA/../cp && docker cp tree/one box:/vol && docker run --rm -v vol:/v busybox cat /v/one
docker start box
docker exec box sh -c 'cat /tmp/one /new/deep/two /vol/one; ls /new; stat -c "%a %u %g" /tmp/one; ln -s /new/one /abs; ln -s new /rel'
cd $DATA/../cp && docker cp box:/new/deep out && ls out && cat out/two
cd $DATA/../cp && docker cp box:/new/deep out && ls out
cd $DATA/../cp && docker cp box:/new/deep/. out && ls out
cd $DATA/../cp && docker cp box:/abs here && readlink here
cd $DATA/../cp && docker cp -L box:/abs followed && cat followed
cd $DATA/../cp && docker cp box:/rel/. through && ls through
cd $DATA/../cp && docker cp box:/etc/passwd . && head -1 passwd
cd $DATA/../cp && docker cp box:/etc/passwd out/passwd && head -1 out/passwd
cd $DATA/../cp && docker cp box:/etc/passwd no/such/place 2>&1 | sed 's,/.*/cp/,,'
cd $DATA/../cp && docker cp box:/new out/passwd
cd $DATA/../cp && docker cp box:/bound/deep bound && ls bound
cd $DATA/../cp && docker cp box:/no-such-file .
cd $DATA/../cp && tar -c tree | docker cp - box:/data && docker exec box ls /data/tree
cd $DATA/../cp && tar -cz tree | docker cp - box:/vol && docker exec box ls /vol/tree
cd $DATA/../cp && tar -c tree | docker cp - box:/no-such-folder
docker cp box:/new box:/other
docker cp here there
docker cp nosuch:/x .
docker pause box
docker cp box:/new/one - | tar -xO
docker unpause box
docker rm -f box
docker run --name sealed --read-only -v vol:/vol busybox true
cd $DATA/../cp && docker cp tree/one sealed:/tmp
cd $DATA/../cp && docker cp tree/one sealed:/vol/again && docker run --rm -v vol:/v busybox cat /v/again
docker rm sealed
docker run --name owned -u alice busybox true
cd $DATA/../cp && chown 1234:4321 tree/one && docker cp tree/one owned:/tmp/as-is && docker cp owned:/tmp/as-is - | tar -tv --numeric-owner | cut -d' ' -f1,2
docker rm owned
docker events --since 0 --filter container=box --until $(($(date +%s)+1)) --filter event=archive-path --filter event=extract-to-dir --format '{{.Action}}' | sort | uniq -c
docker volume rm vol
rm -r $DATA/../cp
