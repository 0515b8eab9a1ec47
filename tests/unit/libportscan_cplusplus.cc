// portscan.h in C++: that it compiles, and that the functions are found.

#include <portscan.h>

#include <cstring>

int main()
{
	struct portscan_check_args args = {};

	args.port = 22;
	portscan_free(nullptr);
	return std::strcmp(portscan_status_name(PORTSCAN_OPEN), "open") != 0 || args.port != 22;
}
