# Completion of dhow for fish; written by 'dhow completion fish'.
function __dhow_complete
    set -l typed (commandline -opc)
    set -l program $typed[1]
    set -e typed[1]
    for line in ($program __complete $typed (commandline -ct) 2>/dev/null)
        switch $line
            case ':files'
                __fish_complete_path (commandline -ct)
            case ':*'
            case '*'
                printf '%s\n' $line
        end
    end
end
complete -c dhow -f -a '(__dhow_complete)'
