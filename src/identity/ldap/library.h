// libldap and liblber, which are loaded for the first call. Inside identity/ldap only.
#pragma once

#include <openldap.h>

#include "sys/shared_library.h"

namespace dtr::identity {

// Each member is called as the function of its name in ldap.h, lber.h or openldap.h.
struct LdapLibrary {
    SharedLibrary library{DTR_LDAP_SONAME};
    DTR_SYMBOL(ber_free);
    DTR_SYMBOL(ber_memfree);
    DTR_SYMBOL(ber_pvt_opt_on);  // LDAP_OPT_ON
    DTR_SYMBOL(ber_sockbuf_add_io);
    DTR_SYMBOL(ber_sockbuf_ctrl);
    DTR_SYMBOL(ldap_abandon_ext);
    DTR_SYMBOL(ldap_control_find);
    DTR_SYMBOL(ldap_control_free);
    DTR_SYMBOL(ldap_controls_free);
    DTR_SYMBOL(ldap_create_page_control);
    DTR_SYMBOL(ldap_dnfree);
    DTR_SYMBOL(ldap_err2string);
    DTR_SYMBOL(ldap_first_attribute);
    DTR_SYMBOL(ldap_get_dn);
    DTR_SYMBOL(ldap_get_option);
    DTR_SYMBOL(ldap_get_values_len);
    DTR_SYMBOL(ldap_init_fd);
    DTR_SYMBOL(ldap_install_tls);
    DTR_SYMBOL(ldap_memfree);
    DTR_SYMBOL(ldap_msgfree);
    DTR_SYMBOL(ldap_msgtype);
    DTR_SYMBOL(ldap_next_attribute);
    DTR_SYMBOL(ldap_parse_pageresponse_control);
    DTR_SYMBOL(ldap_parse_result);
    DTR_SYMBOL(ldap_result);
    DTR_SYMBOL(ldap_sasl_bind);
    DTR_SYMBOL(ldap_search_ext);
    DTR_SYMBOL(ldap_set_option);
    DTR_SYMBOL(ldap_start_tls_s);
    DTR_SYMBOL(ldap_str2dn);
    DTR_SYMBOL(ldap_unbind_ext);
    DTR_SYMBOL(ldap_value_free_len);
};

// Call nothing of it unless its library is usable().
inline const LdapLibrary& libldap() {
    static const LdapLibrary loaded;
    return loaded;
}

}  // namespace dtr::identity
