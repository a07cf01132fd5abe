#include "base/address.h"
#include "conf/field.h"

static int parse_address(struct slice text, void *out, struct err *err)
{
    return address_parse(text, false, out, err);
}

static int parse_bind_address(struct slice text, void *out, struct err *err)
{
    return address_parse(text, true, out, err);
}

static void print_address(const void *value, struct text *out)
{
    char text[ADDRESS_TEXT_MAX];
    text_add_slice(out, slice_of(address_print(value, text)));
}

static int parse_cidr(struct slice text, void *out, struct err *err)
{
    return cidr_parse(text, out, err);
}

static void print_cidr(const void *value, struct text *out)
{
    const struct cidr *block = value;
    char text[INET6_ADDRSTRLEN];
    text_add_slice(out, slice_of(ip_print(&block->ip, text)));
    text_printf(out, "/%d", ip_is_v4(&block->ip) ? block->bits - 96 : block->bits);
}

const struct conf_type conf_address_type = {
    .name = "address",
    .size = sizeof(struct address),
    .parse = parse_address,
    .print = print_address,
    .pattern_help = "10.0.0.1:80",
};

const struct conf_type conf_bind_address_type = {
    .name = "bind address",
    .size = sizeof(struct address),
    .parse = parse_bind_address,
    .print = print_address,
    .pattern_help = ":80",
};

const struct conf_type conf_cidr_type = {
    .name = "address block",
    .size = sizeof(struct cidr),
    .parse = parse_cidr,
    .print = print_cidr,
    .pattern_help = "10.0.0.0/8",
};
