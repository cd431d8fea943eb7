"""Shows what an archive of `docker save` holds, one line for each thing that two builders must make alike.

    python3 image.py ARCHIVE [history]
"""

import hashlib
import json
import sys
import tarfile

# Before that, a time was given; later ones are those of the build.
GIVEN = 1262304000
# What an engine mounts over, and one leaves behind and the other does not.
MOUNTED_OVER = {"dev", "proc", "sys", ".dockerenv", "etc/hosts", "etc/hostname", "etc/resolv.conf", "etc/mtab"}
KINDS = {tarfile.REGTYPE: "file", tarfile.DIRTYPE: "folder", tarfile.SYMTYPE: "symlink", tarfile.FIFOTYPE: "pipe",
         tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block"}
# What the classic builder writes of the container that it built in.
OF_THE_BUILD = {"Hostname", "Image"}
# What BuildKit alone writes, and only Windows reads.
OF_BUILDKIT = {"ArgsEscaped"}


def below(tree, path):
    return [name for name in tree if name.startswith(path + "/")]


def forget(tree, path):
    for name in below(tree, path) + [path]:
        tree.pop(name, None)


def look(layer, entry):
    attributes = {key[len("SCHILY.xattr."):]: value.encode("utf-8", "surrogateescape").hex()
                  for key, value in entry.pax_headers.items() if key.startswith("SCHILY.xattr.")}
    content = ""
    if entry.isfile():
        content = "%d %s" % (entry.size, hashlib.sha256(layer.extractfile(entry).read()).hexdigest()[:12])
    return {
        "kind": KINDS.get(entry.type, "file"), "mode": "%o" % (entry.mode & 0o7777), "owner": "%d:%d" % (entry.uid, entry.gid),
        "time": "%d" % entry.mtime if entry.mtime < GIVEN else "", "to": entry.linkname if entry.issym() else "",
        "content": content, "attributes": attributes, "size": entry.size,
    }


def add(tree, layer):
    for entry in layer:
        path = entry.name.removeprefix("./").strip("/") if entry.name not in (".", "./") else ""
        folder, _, name = path.rpartition("/")
        if name == ".wh..wh..opq":
            for gone in below(tree, folder):
                if tree[gone]["layer"] is not layer:
                    del tree[gone]
        elif name.startswith(".wh."):
            forget(tree, (folder + "/" if folder else "") + name[4:])
        elif entry.islnk():
            first = entry.linkname.removeprefix("./").strip("/")
            forget(tree, path)
            tree[path] = tree[first]
        else:
            seen = look(layer, entry)
            if seen["kind"] != "folder" or tree.get(path, {}).get("kind") != "folder":
                forget(tree, path)
            seen["layer"] = layer
            tree[path] = seen


def files(tree):
    names = {}
    for path, seen in sorted(tree.items()):
        names.setdefault(id(seen), []).append(path)
    for path, seen in sorted(tree.items()):
        if path in MOUNTED_OVER and (seen["kind"] == "folder" or seen["size"] == 0) or path.startswith("dev/"):
            continue
        first = names[id(seen)][0]
        words = [seen["kind"], seen["mode"], seen["owner"], seen["time"], seen["to"], seen["content"]]
        if seen["attributes"]:
            words.append(json.dumps(seen["attributes"], sort_keys=True))
        if first != path:
            words.append("= /" + first)
        yield "/" + path + ": " + " ".join(word for word in words if word)


def configuration(config, left_out):
    for name in ("architecture", "os", "variant", "author"):
        if config.get(name):
            yield "%s: %s" % (name, config[name])
    for name, value in sorted(config.get("config", {}).items()):
        if value and name not in left_out:
            yield "config %s: %s" % (name, json.dumps(value, sort_keys=True))


def main(path, *wanted):
    archive = tarfile.open(path)
    manifest = json.load(archive.extractfile("manifest.json"))[0]
    config = json.load(archive.extractfile(manifest["Config"]))
    tree = {}
    for name in manifest["Layers"]:
        add(tree, tarfile.open(fileobj=archive.extractfile(name)))
    left_out = OF_THE_BUILD if "history" in wanted else OF_THE_BUILD | OF_BUILDKIT
    lines = list(configuration(config, left_out))
    if "history" in wanted:
        lines += ["history: %s" % line.get("created_by", "") for line in config.get("history", [])]
    lines += files(tree)
    print("\n".join(lines).encode("utf-8", "backslashreplace").decode())


main(*sys.argv[1:])
