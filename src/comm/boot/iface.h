/* iface.h - network interfaces by name: their addresses, and which one an address belongs to. */
#ifndef EPX_COMM_BOOT_IFACE_H
#define EPX_COMM_BOOT_IFACE_H

#include "comm/boot/addr.h"

/* The address of an interface that is up: of `family` if it has one (AF_UNSPEC: IPv4 first), and
 * routable rather than link-local. EPX_ERR_INVALID lists the interfaces that there are. */
EPX_NODISCARD epx_status epx_iface_address(const char *name, int family, epx_addr *addr_out);

/* The interface that holds addr, "" when none does. */
void epx_iface_name(const epx_addr *addr, char *name, size_t size);

/* Where others most likely reach this host: the interface of the default route, else the first one
 * that is up, else loopback. */
EPX_NODISCARD epx_status epx_iface_outward(epx_addr *addr_out);

/* 127.0.0.1, or ::1 on a host without IPv4. */
EPX_NODISCARD epx_status epx_iface_loopback(epx_addr *addr_out);

#endif /* EPX_COMM_BOOT_IFACE_H */
