"""Hosts that Vagrant makes: machines of VirtualBox or libvirt, or containers of LXC.

settings   what vagrant/settings.yml and the environment say
machines   what is known of machines: id, how to log in, host key
faults     what Vagrant's complaints mean, and what to do about each (pure)
tool       calls of Vagrant, through python-vagrant
content    what the LXC box has beside the sandbox's root file system (pure)
box        makes the LXC box, once
platform   the `Platform` that the engine sees
"""
