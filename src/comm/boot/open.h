/* open.h - epx_boot_open() for tests: as a rank that was built from another release. */
#ifndef EPX_COMM_BOOT_OPEN_H
#define EPX_COMM_BOOT_OPEN_H

#include "comm/boot/boot.h"

/* epx_boot_open() with these versions in place of our own in the hello. */
EPX_NODISCARD epx_status epx_boot_open_as(const epx_comm_config *cfg, uint32_t library,
                                          uint32_t wire, epx_boot **boot_out);

#endif /* EPX_COMM_BOOT_OPEN_H */
