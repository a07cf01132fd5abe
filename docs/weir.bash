# What bash completes of weir's command line. Made by `make docs`.
_weir()
{
    local word=${COMP_WORDS[COMP_CWORD]} options=
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W '--help help run demo check reload upgrade config maintenance explain why tail events audit top split schema simulate logs flame perf invariants leaks postmortem dump doctor version' -- "$word"))
        return
    fi
    case "${COMP_WORDS[*]:1:2} " in
    'run '*) options='--help --config --listen --to --tcp --admin --user --workers' ;;
    'demo '*) options='--help' ;;
    'check '*) options='--help --config --against-running --json --admin --token' ;;
    'reload '*) options='--help --dry-run --json --config --admin --token' ;;
    'upgrade '*) options='--help --json --config --admin --token' ;;
    'config '*) options='--help --dry-run --json --config --admin --token' ;;
    'maintenance '*) options='--help --dry-run --json --config --admin --token' ;;
    'explain '*) options='--help --config --live --admin --token --listener --method --header --client --json' ;;
    'why '*) options='--help --json --config --admin --token' ;;
    'tail '*) options='--help --where --json --config --admin --token' ;;
    'events '*) options='--help --mark --follow --json --config --admin --token' ;;
    'audit '*) options='--help --json --config --admin --token' ;;
    'top '*) options='--help --view --sort --limit --once --json --config --admin --token' ;;
    'split '*) options='--help --config --admin --token --json' ;;
    'schema '*) options='--help --markdown' ;;
    'simulate '*) options='--help --config --pool --log --log-format --listener --no-routes --rps --seconds --service-ms --slots --slow --workers --seed --change --json --plot' ;;
    'logs follow '*) options='--help --log-format --where --json --config --admin --token' ;;
    'logs '*) options='--help --log-format --nginx-conf --where --since --until --top --format --json --quiet --group --field --min --error-log --slow --follow' ;;
    'flame '*) options='--help --seconds --at --diff --output --config --admin --token' ;;
    'perf '*) options='--help --pid --unit --self --seconds --hz --output --form --off-cpu --quiet' ;;
    'invariants '*) options='--help --json --config --admin --token' ;;
    'leaks '*) options='--help --json --config --admin --token' ;;
    'postmortem '*) options='--help --pid --records --json' ;;
    'dump '*) options='--help --pid --output' ;;
    'doctor '*) options='--help --config --json --root' ;;
    'version '*) options='--help' ;;
    esac
    if [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
    fi
}
complete -o filenames -F _weir weir
