/* interface.h: the texts of the interfaces, as they are in protocol/. */

#pragma once

extern const char interface_org_varlink_service[];
extern const char interface_io_portscand[];
