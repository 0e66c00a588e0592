# What the Vagrantfile needs: its settings, and the provisioner `romana`, which runs this project's
# romana-install on the machine that Vagrant runs on.

require "ipaddr"
require "json"
require "yaml"

module Romana
  ROOT = File.expand_path("..", __dir__)
  INSTALL = File.join(ROOT, ".venv/bin/romana-install")
  PACKAGES = "/var/cache/romana/packages"
  LXC_BOX = File.join(
    File.expand_path(ENV["XDG_CACHE_HOME"] || "~/.cache"), "romana/images/lxc-box/romana.box"
  )

  # settings.yml, under the environment. Machines are numbered by their place in the network.
  class Settings
    SANDBOX = 9

    def self.read
      given = YAML.safe_load(File.read(File.join(__dir__, "settings.yml")))
      new(given.to_h { |key, value| [key, ENV.fetch("ROMANA_#{key.upcase}", value)] })
    end

    def initialize(values)
      @values = values
    end

    def provider
      @values["provider"]
    end

    def memory
      number("memory")
    end

    def cpus
      number("cpus")
    end

    def packages
      @values["packages"] unless @values["packages"].to_s.empty?
    end

    # Machines of each cluster, by name: their numbers.
    def clusters
      names = ["controller", *(1..number("nodes")).map { |number| "node#{number}" }]
      {
        "vagrant-sandbox" => { "sandbox" => SANDBOX },
        "vagrant" => names.each_with_index.to_h { |name, index| [name, SANDBOX + 1 + index] }
      }
    end

    # A box's name, and where it is if not in the catalogue. That of our own LXC box says what is in
    # it, so that Vagrant sees when another was made.
    def box(provider)
      named = of("box", provider)
      return [named, nil] if named

      made = File.exist?(LXC_BOX) ? File.dirname(File.realpath(LXC_BOX)) : "romana-lxc"
      [File.basename(made), "file://#{LXC_BOX}"]
    end

    # Addresses are the provider's network's, and a machine's number.
    def place(provider, number)
      network = network(provider)
      mask = IPAddr.new("255.255.255.255").mask(network.prefix)
      { ip: IPAddr.new(network.to_i + number, Socket::AF_INET).to_s, netmask: mask.to_s }
    end

    def cidr(provider, number)
      "#{place(provider, number)[:ip]}/#{network(provider).prefix}"
    end

    private

    def network(provider)
      IPAddr.new(of("network", provider).to_s)
    rescue IPAddr::Error
      raise Unsound, key: "network", what: "like 192.168.56.0/24", value: @values["network"]
    end

    def number(key)
      Integer(@values[key])
    rescue ArgumentError, TypeError
      raise Unsound, key: key, what: "a number", value: @values[key]
    end

    def of(key, provider)
      value = @values[key]
      value.is_a?(Hash) ? value[provider] : value
    end
  end

  # Installing is once for all machines of a cluster, after the last of those that are coming up.
  # romana-install itself sets ROMANA_INSTALL when it calls Vagrant: then all this keeps still.
  class Cluster
    @clusters = Hash.new { |all, name| all[name] = new(name) }
    @lock = Mutex.new

    class << self
      def of(machine)
        config = machine.config.vm.provisioners.find { |each| each.type == :romana }.config
        @lock.synchronize { @clusters[config.cluster] }.tap { |own| own.names = config.machines }
      end
    end

    attr_writer :names

    def initialize(name)
      @name = name
      @coming = []
      @wanted = false
      @lock = Mutex.new
    end

    def want
      @wanted = true
    end

    def expect(machine)
      @lock.synchronize { @coming << machine.name }
    end

    def arrived(machine)
      @lock.synchronize do
        @coming.delete(machine.name)
        next unless @wanted && !@done && @coming.empty?

        machines = all(machine)
        down = machines.reject { |each| each.state.id == :running }.map(&:name)
        if down.empty?
          @done = true
          install(machine, machines)
        else
          machine.ui.info("#{@name} is installed once #{down.join(", ")} is up too.")
        end
      end
    end

    def gone(machine)
      return unless all(machine).all? { |each| each.state.id == :not_created }
      return unless File.exist?(record)

      run(machine, {}, "destroy", "-n", @name, "--yes")
    end

    private

    def all(machine)
      @names.map { |name| machine.env.machine(name.to_sym, machine.provider_name) }
    end

    # What romana-install keeps of a cluster from its first run on.
    def record
      state = File.expand_path(ENV["XDG_STATE_HOME"] || "~/.local/state")
      File.join(state, "romana/clusters", @name, "request.json")
    end

    def install(machine, machines)
      words = ["vagrant", "-n", @name, "--yes"]
      words += ["-c", (machines.length - 1).to_s]
      run(machine, machines.to_h { |each| [each.name, describe(each)] }, *words)
    end

    def describe(machine)
      info = machine.ssh_info
      keys = +""
      machine.communicate.execute("cat /etc/ssh/ssh_host_*_key.pub") do |kind, text|
        keys << text if kind == :stdout
      end
      { id: machine.id, provider: machine.provider_name, user: info[:username],
        key: info[:private_key_path].first, host_keys: keys.lines(chomp: true) }
    end

    def run(machine, machines, *words)
      set_up(machine)
      told = { "ROMANA_VAGRANT" => JSON.generate(machines),
               "VAGRANT_DEFAULT_PROVIDER" => machine.provider_name.to_s }
      done = Vagrant::Util::Env.with_clean_env { system(told, INSTALL, *words) }
      raise Failed unless done
    end

    def set_up(machine)
      return if File.executable?(INSTALL)

      machine.ui.info("#{INSTALL} is missing: make setup")
      done = Vagrant::Util::Env.with_clean_env { system("make", "-C", ROOT, "setup") }
      raise NotSetUp unless done
    end
  end

  class Unsound < Vagrant::Errors::VagrantError
    def error_message
      key, what, value = @extra_data.values_at(:key, :what, :value)
      "#{key} should be #{what}, is #{value.inspect}: mend it in vagrant/settings.yml, " \
        "or in ROMANA_#{key.upcase}"
    end
  end

  class Failed < Vagrant::Errors::VagrantError
    def error_message
      "romana-install failed; the reason is above. Run again: vagrant provision"
    end
  end

  class NotSetUp < Vagrant::Errors::VagrantError
    def error_message
      "make setup failed in #{ROOT}; mend what it says, then: vagrant provision"
    end
  end

  class Config < Vagrant.plugin("2", :config)
    attr_accessor :cluster, :machines
  end

  class Provisioner < Vagrant.plugin("2", :provisioner)
    def provision
      Cluster.of(@machine).want
    end
  end

  class Coming
    def initialize(app, _env)
      @app = app
    end

    def call(env)
      cluster = Cluster.of(env[:machine])
      cluster.expect(env[:machine])
      @app.call(env)
      cluster.arrived(env[:machine])
    end
  end

  class Gone
    def initialize(app, _env)
      @app = app
    end

    def call(env)
      @app.call(env)
      Cluster.of(env[:machine]).gone(env[:machine])
    end
  end

  class Plugin < Vagrant.plugin("2")
    name "romana"
    config(:romana, :provisioner) { Config }
    provisioner(:romana) { Provisioner }
    unless ENV["ROMANA_INSTALL"]
      %i[up reload provision].each do |action|
        action_hook(:romana, :"machine_action_#{action}") { |hook| hook.prepend(Coming) }
      end
      action_hook(:romana, :machine_action_destroy) { |hook| hook.prepend(Gone) }
    end
  end
end
