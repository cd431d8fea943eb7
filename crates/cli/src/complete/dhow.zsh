#compdef dhow
# Completion of dhow for zsh; written by 'dhow completion zsh'.
_dhow() {
    local line
    local -a candidates
    while IFS= read -r line; do
        case "$line" in
            :files) _files; return ;;
            :*) ;;
            *$'\t'*) candidates+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
            *) candidates+=("${line//:/\\:}") ;;
        esac
    done < <("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)
    _describe 'dhow' candidates
}
if [ "$funcstack[1]" = "_dhow" ]; then
    _dhow "$@"
else
    compdef _dhow dhow
fi
