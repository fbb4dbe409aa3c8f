/* hostlist.h - Slurm's compact lists of hosts: "gpu[01-03,7]-ib,login". */
#ifndef EPX_COMM_BOOT_HOSTLIST_H
#define EPX_COMM_BOOT_HOSTLIST_H

#include <stddef.h>

#include "core/fail.h"

/* The first host of the list: "gpu01-ib". EPX_ERR_INVALID for what is no list. */
EPX_NODISCARD epx_status epx_hostlist_first(const char *list, char *host_out, size_t size);

#endif /* EPX_COMM_BOOT_HOSTLIST_H */
