# Makes layers.tar in the working folder: ./root, and 120 layers above it, each with a file of its own and one that all have.
digest() { sha256sum "$1" | cut -d ' ' -f 1; }
tar --numeric-owner -C root -cf 0.tar .
ids="\"sha256:$(digest 0.tar)\"" files='"0.tar"'
for number in $(seq 1 120); do
    mkdir -p diff/layers
    echo "$number" >"diff/layers/$number"
    echo "$number" >diff/top
    tar --numeric-owner -C diff -cf "$number.tar" .
    rm -r diff
    ids="$ids,\"sha256:$(digest "$number.tar")\"" files="$files,\"$number.tar\""
done
echo "{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{\"Cmd\":[\"sh\"],\"Env\":[\"PATH=/bin\"]},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[$ids]}}" >config.json
echo "[{\"Config\":\"config.json\",\"RepoTags\":[\"layers:latest\"],\"Layers\":[$files]}]" >manifest.json
tar -cf layers.tar manifest.json config.json [0-9]*.tar
