"""Whether rows and bytes agree, while everything goes on; and mending what safely can be."""
