# bash completion for portscan                              -*- shell-script -*-

_portscan() {
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command
	local commands="check find scan wait info metrics call help"

	COMPREPLY=()
	case $previous in
	--socket)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--via)
		mapfile -t COMPREPLY < <(compgen -W connect -- "$word")
		return
		;;
	--order)
		mapfile -t COMPREPLY < <(compgen -W "first any random" -- "$word")
		return
		;;
	--timeout | --count | --exclude | --deadline | --interval)
		return
		;;
	esac
	for command in "${COMP_WORDS[@]:1:COMP_CWORD-1}" ""; do
		[[ " $commands " != *" $command "* ]] || break
	done
	if [[ $word == -* ]]; then
		# What the command has, its help tells.
		mapfile -t COMPREPLY < <(compgen -W "$(portscan help ${command:+"$command"} \
			2>/dev/null | sed -n 's/^  \(--[a-z-]*\).*/\1/p')" -- "$word")
	elif [[ -z $command || $command == help ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")
	elif [[ $command == @(check|find|scan|wait) ]]; then
		mapfile -t COMPREPLY < <(compgen -A hostname -- "$word")
	fi
}

complete -F _portscan portscan
