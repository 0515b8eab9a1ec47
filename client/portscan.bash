# bash completion for portscan                              -*- shell-script -*-

_portscan_command() {
	local i

	for ((i = 1; i < COMP_CWORD; i++)); do
		[[ ${COMP_WORDS[i]} != -- ]] || break
	done
	if declare -F _command_offset >/dev/null; then
		_command_offset $((i + 1))
	elif ((i + 1 == COMP_CWORD)); then
		mapfile -t COMPREPLY < <(compgen -A command -- "${COMP_WORDS[COMP_CWORD]}")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
	fi
}

_portscan() {
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command
	local commands="check find scan wait lease run renew release leases who info metrics call help"

	COMPREPLY=()
	case $previous in
	--socket)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--via)
		mapfile -t COMPREPLY < <(compgen -W "connect table bind" -- "$word")
		return
		;;
	--protocol)
		mapfile -t COMPREPLY < <(compgen -W "tcp udp both" -- "$word")
		return
		;;
	--hold)
		mapfile -t COMPREPLY < <(compgen -W "shared exclusive none" -- "$word")
		return
		;;
	--until)
		mapfile -t COMPREPLY < <(compgen -W "claimed process released" -- "$word")
		return
		;;
	--order)
		mapfile -t COMPREPLY < <(compgen -W "first any random" -- "$word")
		return
		;;
	--timeout | --count | --exclude | --deadline | --interval | --ttl | --name | --address | --pid)
		return
		;;
	esac
	for command in "${COMP_WORDS[@]:1:COMP_CWORD-1}" ""; do
		[[ " $commands " != *" $command "* ]] || break
	done
	if [[ $command == run && " ${COMP_WORDS[*]:0:COMP_CWORD} " == *" -- "* ]]; then
		# Behind it another command begins.
		_portscan_command
		return
	fi
	if [[ $word == -* ]]; then
		# What the command has, its help tells.
		mapfile -t COMPREPLY < <(compgen -W "$(portscan help ${command:+"$command"} \
			2>/dev/null | sed -n 's/^  \(--[a-z-]*\).*/\1/p')" -- "$word")
	elif [[ -z $command || $command == help ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")
	elif [[ $command == @(renew|release) ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(portscan leases 2>/dev/null |
			sed -n 's/^\([0-9a-f]\{16\}\) .*/\1/p')" -- "$word")
	elif [[ $command == @(check|find|scan|wait) ]]; then
		mapfile -t COMPREPLY < <(compgen -A hostname -- "$word")
	fi
}

complete -F _portscan portscan
