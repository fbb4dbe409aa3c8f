/* alone.h - the boot of a world of one: nobody to meet, gathers are copies. */
#ifndef EPX_COMM_BOOT_ALONE_H
#define EPX_COMM_BOOT_ALONE_H

#include "comm/boot/boot.h"

/* address and interface are what the boot tells of itself. */
EPX_NODISCARD epx_status epx_alone_open(const char *launcher, const char *address,
                                        const char *interface, epx_boot **boot_out);

#endif /* EPX_COMM_BOOT_ALONE_H */
