mkdir conf.d && echo 'server_tokens off;' > conf.d/quiet.conf && tar -cf conf.tar conf.d && rm -r conf.d
