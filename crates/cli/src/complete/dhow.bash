# Completion of dhow for bash; written by 'dhow completion bash'.
_dhow() {
    local line candidate
    COMPREPLY=()
    while IFS= read -r line; do
        case "$line" in
            :files) compopt -o default 2>/dev/null; COMPREPLY=(); return ;;
            :*) ;;
            *) candidate="${line%%$'\t'*}"; COMPREPLY+=("$candidate") ;;
        esac
    done < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    # Readline takes a colon and an equals sign for ends of words.
    local typed="${COMP_WORDS[COMP_CWORD]}"
    if [[ "$typed" == *:* ]] && declare -F __ltrim_colon_completions >/dev/null; then
        __ltrim_colon_completions "$typed"
    fi
}
complete -F _dhow dhow
