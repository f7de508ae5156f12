"""Who events are about: identifiers, observations, links, profiles, and the resolver that keeps them."""
